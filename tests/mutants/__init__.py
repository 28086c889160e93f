"""A mutation tester: do the tests notice small faults in what gives numbers, orders and payments?"""
