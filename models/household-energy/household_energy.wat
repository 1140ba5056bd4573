;; The share of a household's electricity that is used from November to February.
;; A unit model: `begin`, then `step` for each of the household's rows, then `finish`.
;; It keeps two sums in globals, so it is `contained`: the host puts them back before each household.
(module
  (global $winter (mut f64) (f64.const 0))
  (global $year (mut f64) (f64.const 0))
  (func (export "begin")
    (global.set $winter (f64.const 0))
    (global.set $year (f64.const 0)))
  (func (export "step") (param $month f64) (param $kwh f64)
    (global.set $year (f64.add (global.get $year) (local.get $kwh)))
    (if (i32.or (f64.ge (local.get $month) (f64.const 11)) (f64.le (local.get $month) (f64.const 2)))
      (then (global.set $winter (f64.add (global.get $winter) (local.get $kwh))))))
  (func (export "finish") (result f64)
    ;; 0 / 0 for a household without rows is a NaN: the host answers with the default
    (f64.div (global.get $winter) (global.get $year))))
