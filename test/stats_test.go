package test_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tokenward/tokenward"
)

// Printed, a Stats says which figure is which.
func TestStats_printsNames(t *testing.T) {
	s := tokenward.Stats{Resident: 3, Loads: 2}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v", s), s.String(), fmt.Sprint(&s)} {
		if !strings.Contains(text, "Resident:3 ") || !strings.Contains(text, "Loads:2 ") || !strings.Contains(text, "Refused:0") {
			t.Errorf("printed: %s", text)
		}
	}
}
