;; Grows its memory until it gets no more and writes to every page of it.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64) (local $at i32) (local $sum i32)
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (loop $write
      (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1)))
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 65536)))
      (br_if $write (i32.lt_u (local.get $at) (i32.shl (memory.size) (i32.const 16)))))
    (f64.mul (f64.convert_i32_u (local.get $sum)) (f64.const 0.01))))
