;; Grows its memory by one page per person and answers with the size; keeps the person before in the new page.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (local $size i32) (local $at i32)
    (local.set $size (memory.grow (i32.const 1)))
    (if (i32.eq (local.get $size) (i32.const -1)) (then (return (f64.const 1))))
    (local.set $at (i32.shl (local.get $size) (i32.const 16)))
    (f64.add (f64.load (local.get $at)) (f64.mul (f64.convert_i32_u (memory.size)) (f64.const 0.01)))
    (f64.store (local.get $at) (f64.div (local.get $income) (f64.const 1e6)))))
