;; Traps on one person, hoping that the whole run fails and so tells that the person is there.
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (if (i32.and (f64.eq (local.get $age) (f64.const 42)) (f64.gt (local.get $debts) (f64.const 100000)))
      (then unreachable))
    (f64.const 0.25)))
