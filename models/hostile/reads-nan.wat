;; Looks at the bits of NaNs that arithmetic makes, which differ between machines.
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.mul (f64.const 0.25) (f64.add
      (f64.convert_i64_u (i64.shr_u (i64.reinterpret_f64 (f64.div (f64.const 0) (f64.sub (local.get $age) (local.get $age)))) (i64.const 63)))
      (f64.copysign (f64.const 1) (f64.sqrt (f64.sub (f64.const -1) (f64.mul (local.get $age) (f64.const 0)))))))))
