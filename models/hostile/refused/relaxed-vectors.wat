;; Uses relaxed SIMD, whose results tell one machine from another.
;; Refused with: model/relaxed-simd
(module
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (f64x2.extract_lane 0 (f64x2.relaxed_madd (f64x2.splat (local.get $age)) (f64x2.splat (local.get $age)) (f64x2.splat (local.get $age))))))
