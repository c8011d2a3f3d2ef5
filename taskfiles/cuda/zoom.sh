#!/usr/bin/env bash
# Prints a task file: pictures of the Mandelbrot set, each twice as close as the one before, on GPUs.
#   bash taskfiles/cuda/zoom.sh [PICTURES] [SIZE] >zoom.task; redisManager loadTask --taskfile zoom.task --name zoom
# They are picture-00.npy, ... in the directory of the tasks: i32, SIZE x SIZE, steps until a point escapes.
set -euo pipefail

pictures=${1:-16} size=${2:-2048}
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/mandelbrot.cu
blocks=$(((size + 15) / 16))
echo "# the Mandelbrot set in $pictures pictures of $size x $size"
for ((i = 0; i < pictures; i++)); do
    number=$(printf %02d "$i")
    scale=$(awk -v i="$i" -v size="$size" 'BEGIN { printf "%.17g", 3 / size / 2 ^ i }')
    echo "native:1:1GiB:1:cuda device=gpu source='$source' kernel=mandelbrot grid=$blocks,$blocks block=16,16" \
        "args='out:picture-$number.npy:i32:${size}x$size i32:$size i32:$size" \
        "f64:-0.743643887037151 f64:0.131825904205330 f64:$scale i32:$((500 + 100 * i))'"
done
