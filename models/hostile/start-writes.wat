;; A start function writes memory and a global; both have to be there for every person, and no more.
(module
  (memory 1)
  (global $g (mut f64) (f64.const 0))
  (start $start)
  (func $start (global.set $g (f64.const 0.25)) (f64.store (i32.const 100) (f64.const 0.25)))
  (func (export "score") (param $age f64) (param $income f64) (param $months f64) (param $debts f64) (param $education f64) (result f64)
    (global.set $g (f64.add (global.get $g) (f64.const 0.125)))
    (f64.store (i32.const 100) (f64.add (f64.load (i32.const 100)) (f64.const 0.125)))
    (f64.add (global.get $g) (f64.load (i32.const 100)))))
