;; Throws an exception.
;; Refused with: model/exceptions
(module (tag $t)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (throw $t)))
