;; Copies its memory onto itself for ever: few instructions, much work.
(module
  (memory 1)
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (loop (memory.copy (i32.const 0) (i32.const 1) (i32.const 65535)) (br 0))
    (f64.const 0.25)))
