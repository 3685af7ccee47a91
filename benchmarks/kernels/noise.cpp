// Random numbers by Philox4x32-7, those of benchmarks/engine/noise.py bit for bit.

#include <cstdint>

namespace {

constexpr int WORDS = 32;  // counters at a time

// Four words for each of the counters (index + i, draw, step, purpose).
struct Philox {
    uint32_t word[4][WORDS];

    void make(uint32_t index, uint32_t draw, uint32_t step, uint32_t purpose, uint32_t key_0, uint32_t key_1) {
        for (int i = 0; i < WORDS; i++) {
            word[0][i] = index + i;
            word[1][i] = draw;
            word[2][i] = step;
            word[3][i] = purpose;
        }
        for (int round = 0; round < 7; round++) {
            for (int i = 0; i < WORDS; i++) {
                const uint64_t product_0 = uint64_t{0xD2511F53} * word[0][i];
                const uint64_t product_2 = uint64_t{0xCD9E8D57} * word[2][i];
                word[0][i] = static_cast<uint32_t>(product_2 >> 32) ^ word[1][i] ^ key_0;
                word[1][i] = static_cast<uint32_t>(product_2);
                word[2][i] = static_cast<uint32_t>(product_0 >> 32) ^ word[3][i] ^ key_1;
                word[3][i] = static_cast<uint32_t>(product_0);
            }
            key_0 += 0x9E3779B9;
            key_1 += 0xBB67AE85;
        }
    }
};

// The j-th number of a counter, from its words.
struct Uniform {
    using Number = float;
    static constexpr int OF_A_COUNTER = 4;
    static float number(const Philox& made, int j, int i) {
        return (static_cast<float>(static_cast<int32_t>(made.word[j][i] >> 9)) + 0.5f) * 0x1p-23f;
    }
};
struct Centred {
    using Number = float;
    static constexpr int OF_A_COUNTER = 4;
    static float number(const Philox& made, int j, int i) {
        const int64_t high = static_cast<int32_t>(made.word[j][i]), low = made.word[(j + 3) % 4][i] & 255;
        return (static_cast<float>(high * 256 + low) + 0.5f) * 0x1p-40f;
    }
};
struct Double {
    using Number = double;
    static constexpr int OF_A_COUNTER = 2;
    static double number(const Philox& made, int j, int i) {
        const int64_t high = made.word[2 * j][i], low = made.word[2 * j + 1][i];
        return (static_cast<double>(high << 20 | low >> 12) + 0.5) * 0x1p-52;
    }
};

// `count` numbers for every lane: the first ones of all counters, then the second ones, and so on.
template <class Kind>
void fill(int64_t lanes, int64_t count, const int64_t* keys, uint32_t purpose, uint32_t step, uint32_t draw,
          void* numbers) {
    const int64_t counters = (count + Kind::OF_A_COUNTER - 1) / Kind::OF_A_COUNTER;
    auto* out = static_cast<typename Kind::Number*>(numbers);
    Philox made;
    for (int64_t lane = 0; lane < lanes; lane++, out += count, keys += 2)
        for (int64_t index = 0; index < counters; index += WORDS) {
            made.make(static_cast<uint32_t>(index), draw, step, purpose, static_cast<uint32_t>(keys[0]),
                      static_cast<uint32_t>(keys[1]));
            for (int j = 0; j < Kind::OF_A_COUNTER; j++) {
                const int64_t at = j * counters + index;
                const int64_t end = counters - index < count - at ? counters - index : count - at;
                const int left = static_cast<int>(end < WORDS ? end : WORDS);
                for (int i = 0; i < left; i++) out[at + i] = Kind::number(made, j, i);
            }
        }
}

}  // namespace

extern "C" {

// Random numbers (lanes, count) of keys (lanes, 2): `kind` 0 are uniform floats, 1 centred floats, 2 uniform
// doubles.
void heunboard_noise(int64_t lanes, int64_t count, const int64_t* keys, uint32_t purpose, uint32_t step,
                     uint32_t draw, int kind, void* numbers) {
    const auto make = kind == 0 ? fill<Uniform> : kind == 1 ? fill<Centred> : fill<Double>;
    make(lanes, count, keys, purpose, step, draw, numbers);
}

}
