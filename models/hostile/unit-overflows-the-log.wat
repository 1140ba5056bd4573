;; A unit model that adds up what earlier households left, and writes more than the undo log holds before its rows end.
(module
  (memory 40)
  (func (export "begin"))
  (func (export "step") (param $month f64) (param $kwh f64)
    (f64.store offset=8 (i32.const 0) (f64.add (f64.load offset=8 (i32.const 0)) (local.get $kwh)))
    (if (f64.gt (local.get $kwh) (f64.const 300))
      (then (memory.fill (i32.const 64) (i32.const 7) (i32.const 2000000)))))
  (func (export "finish") (result f64)
    (f64.add (f64.div (f64.load offset=8 (i32.const 0)) (f64.const 10000)) (f64.div (f64.convert_i32_u (i32.load8_u (i32.const 1000))) (f64.const 100)))))
