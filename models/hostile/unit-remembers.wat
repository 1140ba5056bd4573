;; A unit model that never forgets: sums over all households.
(module
  (memory 1)
  (global $n (mut f64) (f64.const 0))
  (func (export "begin"))
  (func (export "step") (param $month f64) (param $kwh f64)
    (global.set $n (f64.add (global.get $n) (f64.const 0.001)))
    (f64.store (i32.const 8) (f64.add (f64.load (i32.const 8)) (f64.const 0.001))))
  (func (export "finish") (result f64) (f64.add (global.get $n) (f64.load (i32.const 8)))))
