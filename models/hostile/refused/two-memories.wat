;; Declares a second memory, hoping to meet the host's.
;; Refused with: model/multi-memory
(module (memory 1) (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (f64.load 1 (i32.const 64))))
