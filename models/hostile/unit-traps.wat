;; A unit model that traps in the middle of a household, leaving its sums behind.
(module
  (global $n (mut f64) (f64.const 0))
  (func (export "begin"))
  (func (export "step") (param $month f64) (param $kwh f64)
    (global.set $n (f64.add (global.get $n) (f64.const 0.001)))
    (if (f64.gt (local.get $kwh) (f64.const 390)) (then (unreachable))))
  (func (export "finish") (result f64) (global.get $n)))
