/* The scorecard of ../credit_risk.wat, operation by operation, so that both give the same bits. */
#include "../../yunei_model.h"

/* x / (x + half): half of the way to 1 at `half`. */
static double share(double x, double half) { return x / (x + half); }

YUNEI_EXPORT(score) double score(double age, double income, double months, double debts, double education) {
    double youth = (45.0 - age) / 45.0;
    double z = -0.55 + 3.4 * share(debts, income + 10000.0);
    z = z + 0.5 * (youth * youth);
    z = z - 1.6 * share(income, 80000.0);
    z = z - 0.9 * share(months, 60.0);
    z = z - 0.12 * (education - 2.0);
    return 0.5 * (1.0 + z / (1.0 + yunei_abs(z)));
}
