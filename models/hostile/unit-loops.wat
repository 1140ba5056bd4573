;; A unit model that never ends for one household, in the middle of its rows, with its sums half written.
(module
  (memory 1)
  (func (export "begin") (f64.store (i32.const 0) (f64.const 0)))
  (func (export "step") (param $month f64) (param $kwh f64)
    (f64.store (i32.const 0) (f64.add (f64.load (i32.const 0)) (local.get $kwh)))
    (if (f64.gt (local.get $kwh) (f64.const 350)) (then (loop $l (br $l)))))
  (func (export "finish") (result f64) (f64.div (f64.load (i32.const 0)) (f64.const 10000))))
