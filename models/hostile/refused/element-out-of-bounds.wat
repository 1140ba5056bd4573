;; An element segment beyond the end of the table.
;; Refused with: model/start
(module (table 1 funcref) (elem (i32.const 1) $f) (func $f)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (f64.const 0)))
