;; A table of four milliard entries.
;; Refused with: model/limit
(module (table 4000000000 funcref)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (f64.const 0)))
