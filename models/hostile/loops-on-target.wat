;; Never ends for one person, hoping that the run hangs.
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (if (f64.eq (local.get $age) (f64.const 42)) (then (loop (br 0))))
    (f64.const 0.25)))
