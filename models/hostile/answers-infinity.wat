;; Answers with infinities.
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.div (local.get $income) (f64.const 0))))
