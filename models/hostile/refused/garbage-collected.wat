;; Allocates objects for a garbage collector.
;; Refused with: model/gc
(module (type $s (struct (field f64)))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (struct.get $s 0 (struct.new $s (local.get $age)))))
