/* Goes on with a text, by a language model that is part of the program.
 *
 *     elman train lm book.txt --output book
 *     elman export book build --name book
 *     cc -O2 -Ibuild examples/generate.c build/book.o -lm -o generate
 *     ./generate "Once upon" 200 0.8 1       (prompt, tokens, temperature, seed)
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "book.h"
#include "book_tables.h"

/* A number from 0 on, below 1 (xorshift64*). */
static double drawn(uint64_t *seed) {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (double)((*seed * 2685821657736338717u) >> 11) / 9007199254740992.0;
}

/* Draws a token by its score; at a temperature of 0 it is the one with the highest. */
static int draw(float *scores, double temperature, uint64_t *seed) {
    int best = BOOK_END;
    double total = 0, left;
    scores[BOOK_UNKNOWN] = -INFINITY; /* it has no text */
    for (int i = 0; i < BOOK_OUTPUTS; i++)
        if (scores[i] > scores[best]) best = i;
    if (temperature <= 0) return best;
    float highest = scores[best];
    for (int i = 0; i < BOOK_OUTPUTS; i++)
        total += scores[i] = expf((scores[i] - highest) / (float)temperature);
    left = drawn(seed) * total;
    for (int i = 0; i < BOOK_OUTPUTS; i++) {
        left -= scores[i];
        if (left < 0) return i;
    }
    return best;
}

int main(int count, char **given) {
    static book_state state;
    static float scores[BOOK_OUTPUTS];
    const char *prompt = count > 1 ? given[1] : "";
    int length = count > 2 ? atoi(given[2]) : 200;
    double temperature = count > 3 ? atof(given[3]) : 1.0;
    uint64_t seed = count > 4 ? strtoull(given[4], NULL, 10) : 1;
    seed = seed * 2862933555777941757u + 3037000493u; /* not zero for small ones */

    book_init(&state);
    book_step(&state, BOOK_END, scores); /* where a text begins */
    fputs(prompt, stdout);
    while (*prompt) {
        size_t bytes;
        book_step(&state, book_token(prompt, &bytes), scores);
        prompt += bytes;
    }
    while (length-- > 0) {
        int token = draw(scores, temperature, &seed);
        if (token == BOOK_END) break;
        fwrite(book_tokens[token], 1, book_token_bytes[token], stdout);
        book_step(&state, token, scores);
    }
    putchar('\n');
    return 0;
}
