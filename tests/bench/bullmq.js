// node bullmq.js SOCKET COUNT: BullMQ's no-op rate. COUNT jobs are added, then one worker runs them; prints
// jobs a second from its start to the last one's end. Needs `npm install bullmq ioredis` where node finds it.
'use strict';
const { Queue, Worker } = require('bullmq');

const [socket, count] = [process.argv[2], Number(process.argv[3])];
const connection = { path: socket, maxRetriesPerRequest: null };

async function main() {
    const queue = new Queue('noop', { connection });
    for (let at = 0; at < count; at += 1000) {
        const jobs = Array.from({ length: Math.min(1000, count - at) }, (_, i) => ({ name: 'noop', data: { i: at + i } }));
        await queue.addBulk(jobs);
    }
    const begin = process.hrtime.bigint();
    await new Promise((resolve, reject) => {
        let done = 0;
        const worker = new Worker('noop', async () => {}, {
            connection, concurrency: 100, removeOnComplete: { count: 0 },
        });
        worker.on('completed', () => {
            if (++done === count) worker.close().then(resolve, reject);
        });
        worker.on('error', reject);
    });
    const seconds = Number(process.hrtime.bigint() - begin) * 1e-9;
    console.log((count / seconds).toFixed(1));
    await queue.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
