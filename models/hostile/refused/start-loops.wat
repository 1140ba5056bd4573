;; Never ends before the first person.
;; Refused with: model/start
(module (start $s) (func $s (loop (br 0)))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (f64.const 0)))
