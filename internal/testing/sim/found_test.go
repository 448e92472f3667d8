package sim

// found lists seeds that have found a defect, so that they find it again should it come
// back. A seed means another run once the simulation has changed, so most of these defects
// are among the mutants too, which are looked for by every seed.
var found = []struct {
	kind Kind
	seed uint64
	what string
}{
	{Alone, 25, "a session waited for ever for a write that had not begun"},
	{Alone, 33, "a logout was not answered, for what came before that had failed"},
	{Alone, 805, "a session that had outlived its lifetime answered a query on its way in"},
	{Alone, 10841, "a query that had been answered was asked again, and others joined it"},
	{Alone, 12275, "a request was sent though what had been saved in between answered the query"},
	{Alone, 12676, "a request was sent though what was shown answered the query"},
	{Alone, 13251, "a session that had outlived its lifetime answered those who had asked an earlier login"},
	{Several, 52472, "a session counted as just read, though a defect had kept it from showing what was read"},
	{Several, 52485, "a session that starts again after a defect said that it had been read"},
	{Several, 72022, "a refresh token of a session that had outlived its lifetime was spent"},
	{Several, 85366, "a session that was to start again after a defect was shown though its end had been told"},
	{Alone, 89101, "the refusal of an older refresh token dropped a newer one that was not saved yet"},
	{Several, 85594, "a connection token was handed out after a logout elsewhere, as the ceiling came"},
	{Several, 106474, "a login waited for what the session before it had to wait for"},
	{Several, 88356, "a lease was renewed too late, for the clock was set back as it was taken"},
	{Alone, 115626, "a session past its ceiling stayed, for the end of an earlier one was remembered"},
	{Alone, 18596, "a token that was handed out though it could not be saved was forgotten when another process had written"},
	{Alone, 115202, "a token that was handed out though it could not be saved was forgotten when another process had spent the refresh token"},
	{Several, 96393, "a token that another process had read, and had put out to make room, was brought back by a further save"},
}
