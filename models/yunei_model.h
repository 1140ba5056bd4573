/* What a C model needs to be found by Yunei. No library, no build system, one header.
 *
 *   #include "yunei_model.h"
 *   YUNEI_EXPORT(score) double score(double age, double income) { return age > 30 ? 0.2 : 0.4; }
 *
 *   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--strip-all model.c -o model.wasm
 *
 * The parameters are those of model.toml, in its order: f64 is double, f32 float, i64 long long, i32 int.
 * There is nothing to import: no file, no clock, no random numbers. Memory written in one call is as it was before the next.
 */
#ifndef YUNEI_MODEL_H
#define YUNEI_MODEL_H

#define YUNEI_EXPORT(name) __attribute__((export_name(#name), visibility("default")))

/* One machine instruction each; without a C library there is no <math.h>. */
#define yunei_abs(x) __builtin_fabs(x)
#define yunei_sqrt(x) __builtin_sqrt(x)
#define yunei_floor(x) __builtin_floor(x)
#define yunei_ceil(x) __builtin_ceil(x)
#define yunei_nearest(x) __builtin_rint(x)
#define yunei_trunc(x) __builtin_trunc(x)

/* Ends the unit: it gets the default of model.toml. */
#define yunei_no_answer() __builtin_trap()

#endif
