package idptest_test
import ("testing";"github.com/tokenward/tokenward/idp/idptest")
func BenchmarkRefresh(b *testing.B){
 for _,o:=range []bool{false,true}{ name:="jwt"; if o {name="opaque"}
 b.Run(name,func(b *testing.B){ a:=inProcess(b); if o {a.tenant.Set(idptest.WithOpaqueTokens(), idptest.WithIDToken(func(d *idptest.Draft){d.Omit=d.Kind==idptest.Refresh}))}
 tok:=a.login(nil).str("refresh_token"); b.ReportAllocs()
 for b.Loop(){ tok=a.refresh(tok).str("refresh_token")}
 if a.tenant.Reuses()!=0 {b.Fatal()}
 })}
}
