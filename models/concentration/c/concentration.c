/* How concentrated four monthly sums are over eight bands of size: 1 when all lie in one band, less the wider they
 * are spread. Each sum counts fully in its own band and by half in the bands beside it.
 *
 * The bands are an array that is indexed by what the data says, so that it lives in memory: 64 bytes are written for
 * every row, and the model is `contained`, not `stateless`. Nothing of it is left for the next row. */
#include "../../yunei_model.h"

/* Bands of 25,000 yuan; the last one is open. */
static int band_of(double x) {
    if (!(x >= 25000.0)) return 0;
    if (x >= 175000.0) return 7;
    return (int)(x / 25000.0);
}

YUNEI_EXPORT(score) double score(double a, double b, double c, double d) {
    double bands[8] = {0};
    double sums[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++) {
        int band = band_of(sums[i]);
        bands[band] += 1.0;
        if (band > 0) bands[band - 1] += 0.5;
        if (band < 7) bands[band + 1] += 0.5;
    }
    double total = 0.0, squares = 0.0;
    for (int i = 0; i < 8; i++) {
        total += bands[i];
        squares += bands[i] * bands[i];
    }
    return squares / (total * total);
}
