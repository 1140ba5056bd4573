;; Fills all of its memory with what it knows of the person, after reading what the last one left.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.mul (f64.convert_i32_u (i32.load8_u offset=65535 (i32.const 0))) (f64.const 0.01))
    (memory.fill (i32.const 0) (i32.trunc_sat_f64_u (local.get $age)) (i32.const 65536))))
