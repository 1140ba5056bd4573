;; Uses nearly all fuel for everybody, and would use a neighbour's if it could.
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (local $n i32)
    (local.set $n (i32.const 140000))
    (loop $next (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (f64.const 0.25)))
