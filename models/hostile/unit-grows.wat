;; A unit model that grows its memory at every row and writes to the new page.
(module
  (memory 0)
  (func (export "begin") (drop (memory.grow (i32.const 1))))
  (func (export "step") (param $month f64) (param $kwh f64)
    (f64.store (i32.const 0) (f64.add (f64.load (i32.const 0)) (f64.const 0.001)))
    (if (f64.gt (local.get $kwh) (f64.const 300)) (then (drop (memory.grow (i32.const 1))))))
  (func (export "finish") (result f64)
    (f64.add (f64.load (i32.const 0)) (f64.mul (f64.convert_i32_u (memory.size)) (f64.const 0.01)))))
