;; Writes through a function that only a table knows, behind call_indirect.
(module
  (type $f (func (param f64) (result f64)))
  (memory 1)
  (table 2 funcref)
  (elem (i32.const 1) $writer)
  (func $writer (type $f)
    (f64.load (i32.const 8))
    (f64.store (i32.const 8) (f64.div (local.get 0) (f64.const 1e6))))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (call_indirect (type $f) (local.get $income) (i32.const 1))))
