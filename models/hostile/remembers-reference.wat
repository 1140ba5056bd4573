;; Keeps the person before as a function reference in a global.
(module
  (type $f (func (result f64)))
  (table 1 funcref)
  (elem declare func $rich $none)
  (func $none (result f64) (f64.const 0))
  (func $rich (result f64) (f64.const 1))
  (global $g (mut funcref) (ref.func $none))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (table.set (i32.const 0) (global.get $g))
    (call_indirect (type $f) (i32.const 0))
    (if (f64.gt (local.get $income) (f64.const 60000)) (then (global.set $g (ref.func $rich))))))
