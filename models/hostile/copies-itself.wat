;; Moves the person before through memory.copy and memory.init, across blocks.
(module
  (memory 1)
  (data $d "abcdefgh")
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (f64.load (i32.const 4093))
    (memory.copy (i32.const 4093) (i32.const 2045) (i32.const 8))
    (f64.store (i32.const 2045) (f64.div (local.get $income) (f64.const 1e6)))
    (memory.init $d (i32.const 60) (i32.const 0) (i32.const 8))
    (memory.copy (i32.const 4090) (i32.const 2040) (i32.const 100))))
