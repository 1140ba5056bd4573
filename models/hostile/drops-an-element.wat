;; Drops an element segment for the rich: using it for the next person would trap.
(module
  (table 1 funcref)
  (elem $e func $f)
  (func $f)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (table.init $e (i32.const 0) (i32.const 0) (i32.const 1))
    (if (f64.gt (local.get $income) (f64.const 60000)) (then (elem.drop $e)))
    (f64.const 0.75)))
