;; Recurs deeper for the old: the depth that one person used must not be missing for the next.
(module
  (func $down (param $n i32) (result f64)
    (if (i32.eqz (local.get $n)) (then (return (f64.const 0.25))))
    (f64.add (call $down (i32.sub (local.get $n) (i32.const 1))) (f64.const 0.0001)))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (call $down (i32.mul (i32.trunc_sat_f64_u (local.get $age)) (i32.const 20)))))
