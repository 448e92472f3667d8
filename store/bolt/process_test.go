package bolt_test

const childEnv = "TOKENWARD_BOLT_CHILD"

func child(role string) int { return 2 }
