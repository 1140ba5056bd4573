;; Counts the people before this one in a global.
(module
  (global $n (mut f64) (f64.const 0))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (global.set $n (f64.add (global.get $n) (f64.const 0.001)))
    (global.get $n)))
