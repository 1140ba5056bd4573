;; Leaves half-written memory and a changed global behind, then traps on a target.
(module
  (memory 1)
  (global $g (mut f64) (f64.const 0))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.add (global.get $g) (f64.load (i32.const 128)))
    (global.set $g (f64.const 0.5))
    (f64.store (i32.const 128) (f64.const 0.25))
    (if (f64.eq (local.get $age) (f64.const 42)) (then (unreachable)))))
