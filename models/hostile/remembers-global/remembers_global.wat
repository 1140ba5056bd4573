;; Answers with the income of the person before, kept in a global, scaled into [0, 1].
(module
  (global $last (mut f64) (f64.const 0))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (global.get $last)
    (global.set $last (f64.div (local.get $income) (f64.const 1000000)))))
