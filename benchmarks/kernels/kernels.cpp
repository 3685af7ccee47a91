// Linear layers of one trial in float32: y = x W^T + b, and the update of W by Adam or RAdam from the two
// factors of its gradient, which is never written to memory.
//
// Matrices are row-major. A sum over k is made in the order of k, in one register, whatever the shapes: a
// number of a product does not depend on how many rows or columns stand beside it.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

namespace {

#if defined(__AVX512F__)
constexpr int WIDTH = 16;  // floats of a vector
constexpr int COLUMNS = 4;  // vectors of a tile; with 6 rows they fill the registers
constexpr int SPAN = 16;  // vectors of a row of sums
#elif defined(__AVX__)
constexpr int WIDTH = 8;
constexpr int COLUMNS = 2;
constexpr int SPAN = 8;
#else
constexpr int WIDTH = 4;
constexpr int COLUMNS = 4;
constexpr int SPAN = 8;
#endif
constexpr int ROWS = 6;
constexpr int BLOCK = COLUMNS * WIDTH;
constexpr int64_t LINE = 64;  // bytes of a cache line
constexpr float BETA_2 = 0.999f;  // as benchmarks/engine/optimizers/adam.py has it
constexpr float REST_1 = 0.1f, REST_2 = 0.001f;  // 1 - beta; in float32 1 - 0.999f is off by 1e-5 of it

typedef float Vector __attribute__((vector_size(WIDTH * 4), aligned(4), may_alias));
typedef int32_t Integers __attribute__((vector_size(WIDTH * 4)));

// A value that is read often belongs in a register; compilers read it from memory again to save one.
#if defined(__AVX512F__)
#define IN_REGISTER(x) asm("" : "+v"(x))
#elif defined(__AVX__)
#define IN_REGISTER(x) asm("" : "+x"(x))
#else
#define IN_REGISTER(x)
#endif

struct Free {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(LINE)); }
};

template <class T>
using Buffer = std::unique_ptr<T[], Free>;

template <class T>
Buffer<T> buffer(int64_t size) {
    return Buffer<T>(static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t(LINE))));
}

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector x) { *reinterpret_cast<Vector*>(to) = x; }
inline Vector all(float x) { return x - Vector{}; }

inline Vector root(Vector x) {
    float numbers[WIDTH];
    store(numbers, x);
    for (float& number : numbers) number = std::sqrt(number);
    return load(numbers);
}

// Exchanges the blocks of `distance` x `distance` numbers beside the diagonal of WIDTH rows.
template <int distance, int... k>
inline void exchange(Vector* rows, std::integer_sequence<int, k...>) {
#pragma GCC unroll 16
    for (int i = 0; i < WIDTH; i++) {
        if (i & distance) continue;
        const Vector a = rows[i], b = rows[i | distance];
#if defined(__clang__)
        rows[i] = __builtin_shufflevector(a, b, ((k & distance) ? WIDTH + (k ^ distance) : k)...);
        rows[i | distance] = __builtin_shufflevector(a, b, ((k & distance) ? WIDTH + k : (k ^ distance))...);
#else
        constexpr Integers upper = {((k & distance) ? WIDTH + (k ^ distance) : k)...};
        constexpr Integers lower = {((k & distance) ? WIDTH + k : (k ^ distance))...};
        rows[i] = __builtin_shuffle(a, b, upper);
        rows[i | distance] = __builtin_shuffle(a, b, lower);
#endif
    }
}

// out[k * BLOCK + j] = in[j * stride + k] for j, k < WIDTH.
inline void transpose(const float* in, int64_t stride, float* out) {
    constexpr auto every = std::make_integer_sequence<int, WIDTH>{};
    Vector rows[WIDTH];
#pragma GCC unroll 16
    for (int j = 0; j < WIDTH; j++) rows[j] = load(in + j * stride);
    if constexpr (WIDTH > 8) exchange<8>(rows, every);
    if constexpr (WIDTH > 4) exchange<4>(rows, every);
    exchange<2>(rows, every);
    exchange<1>(rows, every);
#pragma GCC unroll 16
    for (int k = 0; k < WIDTH; k++) store(out + k * BLOCK, rows[k]);
}

constexpr int PAUSE = 4;  // terms after which a tile lets other work in

// A tile of sums: out[i, j] = start[j] + sum over k of left[i, k] panel[k * BLOCK + j].
//
// Rows of `left` lie `row` numbers apart, those of a strip one, and its columns ROWS. Between the terms
// `meanwhile(n)` does the n-th part of other work, whose waiting the sums fill.
template <int rows, int columns, bool strip, class Work>
inline void tile(const float* __restrict left, int64_t row, const float* __restrict panel, int64_t terms,
                 const float* __restrict start, float* __restrict out, int64_t stride, Work meanwhile) {
    Vector sum[rows][columns];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) sum[i][j] = load(start + j * WIDTH);
    const auto add = [&](int64_t k) __attribute__((always_inline)) {
        Vector right[columns];
        for (int j = 0; j < columns; j++) {
            right[j] = load(panel + k * BLOCK + j * WIDTH);
            IN_REGISTER(right[j]);
        }
        for (int i = 0; i < rows; i++) {
            const Vector factor = all(strip ? left[k * ROWS + i] : left[i * row + k]);
            for (int j = 0; j < columns; j++) sum[i][j] += factor * right[j];
        }
    };
    int64_t k = 0;
    for (int part = 0; k + PAUSE <= terms; part++) {
        meanwhile(part);
        for (const int64_t end = k + PAUSE; k < end; k++) add(k);
    }
    for (; k < terms; k++) add(k);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) store(out + i * stride + j * WIDTH, sum[i][j]);
}

template <int rows, bool strip, class Work>
inline void tile(int columns, const float* left, int64_t row, const float* panel, int64_t terms,
                 const float* start, float* out, int64_t stride, Work meanwhile) {
    if constexpr (COLUMNS == 4) {
        if (columns == 4) return tile<rows, 4, strip>(left, row, panel, terms, start, out, stride, meanwhile);
        if (columns == 3) return tile<rows, 3, strip>(left, row, panel, terms, start, out, stride, meanwhile);
    }
    if (columns == 2) return tile<rows, 2, strip>(left, row, panel, terms, start, out, stride, meanwhile);
    tile<rows, 1, strip>(left, row, panel, terms, start, out, stride, meanwhile);
}

void tile(int rows, int columns, const float* left, int64_t row, const float* panel, int64_t terms,
          const float* start, float* out, int64_t stride) {
    const auto nothing = [](int) {};
    switch (rows) {
        case 1: return tile<1, false>(columns, left, row, panel, terms, start, out, stride, nothing);
        case 2: return tile<2, false>(columns, left, row, panel, terms, start, out, stride, nothing);
        case 3: return tile<3, false>(columns, left, row, panel, terms, start, out, stride, nothing);
        case 4: return tile<4, false>(columns, left, row, panel, terms, start, out, stride, nothing);
        case 5: return tile<5, false>(columns, left, row, panel, terms, start, out, stride, nothing);
        default: return tile<ROWS, false>(columns, left, row, panel, terms, start, out, stride, nothing);
    }
}

int vectors(int numbers) { return (numbers + WIDTH - 1) / WIDTH; }

// Columns `first` to `first + count` of a matrix, side by side; the rest of the block is zeros.
void pack_columns(const float* in, int64_t stride, int64_t rows, int64_t first, int count, float* panel) {
    for (int64_t k = 0; k < rows; k++) {
        float* to = panel + k * BLOCK;
        std::memcpy(to, in + k * stride + first, count * sizeof(float));
        for (int j = count; j < BLOCK; j++) to[j] = 0;
    }
}

// The same of the transposed matrix: rows `first` to `first + count` become columns.
void pack_rows(const float* in, int64_t stride, int64_t columns, int64_t first, int count, float* panel) {
    const int64_t whole = columns / WIDTH * WIDTH;
    for (int j = 0; j < vectors(count) * WIDTH; j += WIDTH) {
        const bool full = j + WIDTH <= count;
        for (int64_t k = 0; full && k < whole; k += WIDTH)
            transpose(in + (first + j) * stride + k, stride, panel + k * BLOCK + j);
        for (int64_t k = full ? whole : 0; k < columns; k++)
            for (int i = j; i < j + WIDTH; i++)
                panel[k * BLOCK + i] = i < count ? in[(first + i) * stride + k] : 0;
    }
}

inline void fetch(const void* from) { __builtin_prefetch(from, 0, 2); }

// What is not zero in a matrix: of row i, `at` and `value` from start[i] to start[i + 1].
struct Sparse {
    Buffer<int32_t> start, at;
    Buffer<float> value;
};

Sparse by_row(const float* x, int64_t rows, int64_t columns) {
    Sparse found{buffer<int32_t>(rows + 1), buffer<int32_t>(rows * columns + 1),
                 buffer<float>(rows * columns + 1)};
    int32_t* at = found.at.get();
    float* value = found.value.get();
    int32_t count = 0;
    for (int64_t i = 0; i < rows; i++) {
        const float* row = x + i * columns;
        found.start[i] = count;
        const auto take = [&](int64_t k) {
            at[count] = static_cast<int32_t>(k);
            value[count] = row[k];
            count += row[k] != 0;
        };
        int64_t k = 0;
        for (; k + 8 <= columns; k += 8) {
            uint64_t bits[4];
            std::memcpy(bits, row + k, sizeof bits);
            if (!(bits[0] | bits[1] | bits[2] | bits[3])) continue;
            for (int64_t inner = k; inner < k + 8; inner++) take(inner);
        }
        for (; k < columns; k++) take(k);
    }
    found.start[rows] = count;
    return found;
}

Sparse transposed(const Sparse& given, int64_t rows, int64_t columns) {
    const int32_t count = given.start[rows];
    Sparse turned{buffer<int32_t>(columns + 1), buffer<int32_t>(count), buffer<float>(count)};
    const auto next = buffer<int32_t>(columns);
    std::memset(next.get(), 0, columns * sizeof(int32_t));
    for (int32_t entry = 0; entry < count; entry++) next[given.at[entry]]++;
    int32_t before = 0;
    for (int64_t k = 0; k < columns; k++) {
        turned.start[k] = before;
        before += next[k];
        next[k] = turned.start[k];
    }
    turned.start[columns] = before;
    for (int64_t i = 0; i < rows; i++)
        for (int32_t entry = given.start[i]; entry < given.start[i + 1]; entry++) {
            const int32_t to = next[given.at[entry]]++;
            turned.at[to] = static_cast<int32_t>(i);
            turned.value[to] = given.value[entry];
        }
    return turned;
}

// Skipping zeros pays while fewer than half of the numbers are others.
bool is_sparse(const Sparse& found, int64_t rows, int64_t columns) {
    return 2 * static_cast<int64_t>(found.start[rows]) <= rows * columns;
}

// out[j] = start[j] + sum over entries of value matrix[at, j].
template <int columns>
inline void sparse_sums(const Sparse& x, int64_t row, const float* matrix, int64_t stride, const float* start,
                        float* out) {
    Vector sum[columns];
    for (int j = 0; j < columns; j++) sum[j] = load(start + j * WIDTH);
    for (int32_t entry = x.start[row]; entry < x.start[row + 1]; entry++) {
        const Vector factor = all(x.value[entry]);
        const float* from = matrix + x.at[entry] * stride;
        for (int j = 0; j < columns; j++) sum[j] += factor * load(from + j * WIDTH);
    }
    for (int j = 0; j < columns; j++) store(out + j * WIDTH, sum[j]);
}

// y = start + x weight, weight being (inputs, outputs); a span of outputs at a time stays in the cache.
void sparse_linear(const Sparse& x, int64_t batch, int64_t inputs, int64_t outputs, const float* weight,
                   const float* start, float* y) {
    int64_t j = 0;
    for (; j + SPAN * WIDTH <= outputs; j += SPAN * WIDTH)
        for (int64_t i = 0; i < batch; i++)
            sparse_sums<SPAN>(x, i, weight + j, outputs, start + j, y + i * outputs + j);
    for (; j + WIDTH <= outputs; j += WIDTH)
        for (int64_t i = 0; i < batch; i++)
            sparse_sums<1>(x, i, weight + j, outputs, start + j, y + i * outputs + j);
    if (j == outputs) return;
    const int count = static_cast<int>(outputs - j);
    const auto panel = buffer<float>(inputs * BLOCK);
    pack_columns(weight, outputs, inputs, j, count, panel.get());
    float first[WIDTH] = {}, sums[WIDTH];
    std::memcpy(first, start + j, count * sizeof(float));
    for (int64_t i = 0; i < batch; i++) {
        sparse_sums<1>(x, i, panel.get(), BLOCK, first, sums);
        std::memcpy(y + i * outputs + j, sums, count * sizeof(float));
    }
}

void dense_linear(int64_t batch, int64_t inputs, int64_t outputs, const float* x, const float* weight,
                  bool input_major, const float* start, float* y) {
    const auto panel = buffer<float>(inputs * BLOCK);
    alignas(LINE) float first[BLOCK], rest[ROWS * BLOCK];
    for (int64_t j = 0; j < outputs; j += BLOCK) {
        const int count = static_cast<int>(outputs - j < BLOCK ? outputs - j : BLOCK);
        if (input_major) pack_columns(weight, outputs, inputs, j, count, panel.get());
        else pack_rows(weight, inputs, inputs, j, count, panel.get());
        for (int k = 0; k < BLOCK; k++) first[k] = k < count ? start[j + k] : 0;
        const bool full = count % WIDTH == 0;
        const int64_t ahead = outputs - j - BLOCK < BLOCK ? outputs - j - BLOCK : BLOCK;  // columns
        for (int64_t i = 0; i < batch; i += ROWS) {
            const int rows = static_cast<int>(batch - i < ROWS ? batch - i : ROWS);
            if (ahead > 0) {  // a part of the next panel comes nearer while this one is used
                const int64_t from = i * inputs / batch, to = (i + rows) * inputs / batch;
                if (input_major) {
                    for (int64_t k = from; k < to; k++)
                        for (int64_t c = j + BLOCK; c < j + BLOCK + ahead; c += LINE / 4)
                            fetch(weight + k * outputs + c);
                } else {
                    const float* next = weight + (j + BLOCK) * inputs;
                    for (int64_t k = from * ahead; k < to * ahead; k += LINE / 4) fetch(next + k);
                }
            }
            float* to = full ? y + i * outputs + j : rest;
            tile(rows, vectors(count), x + i * inputs, inputs, panel.get(), inputs, first, to,
                 full ? outputs : BLOCK);
            if (full) continue;
            for (int r = 0; r < rows; r++)
                std::memcpy(y + (i + r) * outputs + j, rest + r * BLOCK, count * sizeof(float));
        }
    }
}

// Weights and moments of a layer, and what changes them.
struct Layer {
    float *parameter, *first, *second;
    float scale, offset;
    bool moving;
    Vector sum;  // of the gradient's numbers
};

// A vector of numbers from `at` on after a step, as benchmarks/engine/optimizers/adam.py has it.
[[gnu::always_inline]] inline void adam(Layer& layer, int64_t at, Vector g) {
    float *parameter = layer.parameter + at, *first = layer.first + at, *second = layer.second + at;
    const Vector m = load(first) + REST_1 * (g - load(first));
    const Vector v = load(second) * BETA_2 + g * g * REST_2;
    store(first, m);
    store(second, v);
    if (layer.moving) store(parameter, load(parameter) - m / (root(v) * layer.scale + layer.offset));
    layer.sum += g;
}

// The same for a part of a row; what follows `gradient` up to a whole vector is zeros.
inline void adam(Layer& layer, int64_t at, const float* __restrict gradient, int count) {
    float* __restrict parameter = layer.parameter + at;
    float* __restrict first = layer.first + at;
    float* __restrict second = layer.second + at;
    const float scale = layer.scale, offset = layer.offset;
    const bool moving = layer.moving;
    for (int j = 0; j < count; j++) {
        const float g = gradient[j];
        const float m = first[j] + REST_1 * (g - first[j]);
        const float v = second[j] * BETA_2 + g * g * REST_2;
        first[j] = m;
        second[j] = v;
        const float changed = parameter[j] - m / (std::sqrt(v) * scale + offset);
        parameter[j] = moving ? changed : parameter[j];
    }
    for (int j = 0; j < count; j += WIDTH) layer.sum += load(gradient + j);
}

inline void fetch(const Layer& layer, int64_t at) {
    fetch(layer.parameter + at);
    fetch(layer.first + at);
    fetch(layer.second + at);
}

}  // namespace

extern "C" {

// y (batch, outputs) = x (batch, inputs) W^T + bias.
//
// W is (outputs, inputs), or where `input_major` its transpose. `mostly_zero` says that zeros of x are to be
// skipped, if there are many; that needs W input-major.
void heunboard_linear(int64_t batch, int64_t inputs, int64_t outputs, const float* x, const float* weight,
                      int input_major, int mostly_zero, const float* bias, float* y) {
    if (mostly_zero && input_major) {
        const Sparse found = by_row(x, batch, inputs);
        if (is_sparse(found, batch, inputs))
            return sparse_linear(found, batch, inputs, outputs, weight, bias, y);
    }
    dense_linear(batch, inputs, outputs, x, weight, input_major, bias, y);
}

// One step of Adam or RAdam for a matrix (rows, columns) with the gradient left^T right, of factors
// (batch, rows) and (batch, columns). Returns the sum of the gradient's numbers.
//
// `mostly_zero` says that zeros of `left` are to be skipped, if there are many. `moving` is 0 for a lane
// whose parameters stay.
float heunboard_update(int64_t batch, int64_t rows, int64_t columns, const float* left, const float* right,
                       int mostly_zero, float* parameter, float* first, float* second, float scale,
                       float offset, int moving) {
    Layer layer{parameter, first, second, scale, offset, moving != 0, Vector{}};
    const auto panel = buffer<float>(batch * BLOCK);
    alignas(LINE) float gradients[2][ROWS * BLOCK];
    constexpr float zeros[SPAN * WIDTH] = {};

    Sparse by_column{};
    bool sparse = false;
    if (mostly_zero) {
        const Sparse found = by_row(left, batch, rows);
        sparse = is_sparse(found, batch, rows);
        if (sparse) by_column = transposed(found, batch, rows);
    }
    Buffer<float> strips;  // of ROWS columns of `left`, each (batch, ROWS)
    if (!sparse) {
        strips = buffer<float>((rows + ROWS - 1) / ROWS * ROWS * batch);
        for (int64_t i = 0; i < rows; i += ROWS)
            for (int64_t b = 0; b < batch; b++)
                for (int r = 0; r < ROWS; r++)
                    strips[i * batch + b * ROWS + r] = i + r < rows ? left[b * rows + i + r] : 0;
    }
    constexpr int64_t AHEAD = 8;  // rows that come nearer before they are needed
    for (int64_t j = 0; j < columns; j += BLOCK) {
        const int count = static_cast<int>(columns - j < BLOCK ? columns - j : BLOCK);
        pack_columns(right, columns, batch, j, count, panel.get());
        if (sparse) {
            for (int64_t i = 0; i < rows; i++) {
                const int64_t next = (i + AHEAD < rows ? i + AHEAD : i) * columns + j;
                for (int k = 0; k < count; k += LINE / 4) fetch(layer, next + k);
                sparse_sums<COLUMNS>(by_column, i, panel.get(), BLOCK, zeros, gradients[0]);
                adam(layer, i * columns + j, gradients[0], count);
            }
            continue;
        }
        // While the sums of a tile are made, those of the one before are used, a vector at a time, if there are
        // terms enough for all of it.
        const bool meanwhile = count == BLOCK && batch / PAUSE >= ROWS * COLUMNS;
        for (int64_t i = 0; i < rows; i += ROWS) {
            float* gradient = gradients[i / ROWS % 2];
            const float* before = gradients[1 - i / ROWS % 2];
            const auto work = [&](int part) __attribute__((always_inline)) {
                const int row = part / COLUMNS, column = part % COLUMNS * WIDTH;
                if (row >= ROWS) return;
                const int64_t at = (i + row) * columns + j + column;
                fetch(layer, at);  // of this tile, for the next; a place beyond the end is no error
                if (meanwhile && i > 0) adam(layer, at - ROWS * columns, load(before + row * BLOCK + column));
            };
            tile<ROWS, true>(vectors(count), strips.get() + i * batch, 0, panel.get(), batch, zeros, gradient,
                             BLOCK, work);
            if (meanwhile && i + ROWS < rows) continue;
            for (int64_t row = i; row < i + ROWS && row < rows; row++)
                adam(layer, row * columns + j, gradient + (row - i) * BLOCK, count);
        }
    }
    float total = 0;
    for (int k = 0; k < WIDTH; k++) total += layer.sum[k];
    return total;
}

}
