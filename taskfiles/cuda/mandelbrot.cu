// The Mandelbrot set: steps until |z| > 2, for each point of a picture of width x height around (x, y).
extern "C" __global__ void mandelbrot(int *steps, int width, int height, double x, double y, double scale,
                                      int most) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (column >= width || row >= height)
        return;
    double a = x + (column - 0.5 * width) * scale, b = y + (row - 0.5 * height) * scale;
    double re = 0, im = 0;
    int step = 0;
    while (step < most && re * re + im * im <= 4) {
        double next = re * re - im * im + a;
        im = 2 * re * im + b;
        re = next;
        step++;
    }
    steps[(size_t)row * width + column] = step;
}
