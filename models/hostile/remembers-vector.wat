;; Keeps the person before in a vector global and in vector stores, whole and by lane.
(module
  (memory 1)
  (global $v (mut v128) (v128.const f64x2 0 0))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.add (f64x2.extract_lane 1 (global.get $v)) (f64.load offset=72 (i32.const 0)))
    (global.set $v (f64x2.splat (f64.div (local.get $income) (f64.const 1e6))))
    (v128.store (i32.const 56) (global.get $v))
    (v128.store64_lane offset=8 1 (i32.const 64) (global.get $v))))
