// The scorecard of ../credit_risk.wat, operation by operation, so that both give the same bits.

// x / (x + half): half of the way to 1 at `half`.
function share(x: f64, half: f64): f64 {
  return x / (x + half);
}

export function score(age: f64, income: f64, months: f64, debts: f64, education: f64): f64 {
  const youth: f64 = (45.0 - age) / 45.0;
  let z: f64 = -0.55 + 3.4 * share(debts, income + 10000.0);
  z = z + 0.5 * (youth * youth);
  z = z - 1.6 * share(income, 80000.0);
  z = z - 0.9 * share(months, 60.0);
  z = z - 0.12 * (education - 2.0);
  return 0.5 * (1.0 + z / (1.0 + abs(z)));
}
