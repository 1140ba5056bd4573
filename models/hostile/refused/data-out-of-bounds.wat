;; A data segment beyond the end of the memory.
;; Refused with: model/segment
(module (memory 1) (data (i32.const 65535) "ab")
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (f64.const 0)))
