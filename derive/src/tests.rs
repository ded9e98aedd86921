#![allow(clippy::unwrap_used, reason = "a failing test panics")]

use quote::quote;
use syn::DeriveInput;

use super::expand::expand;

fn input(text: &str) -> DeriveInput {
    syn::parse_str(text).unwrap()
}

/// What is written for a type, without spaces.
fn written(text: &str) -> String {
    expand(&input(text)).unwrap().to_string().replace(' ', "")
}

/// The error for a type.
fn refused(text: &str) -> String {
    expand(&input(text)).unwrap_err().to_string()
}

#[test]
fn a_name_is_taken_as_it_is() {
    let expected = quote! {
        #[automatically_derived]
        impl ::anyipc::Message for Diagnostic {
            const NAME: &'static str = "edix.Diagnostic/1";
        }
    };
    let text = "#[message(name = \"edix.Diagnostic/1\")] #[serde(tag = \"t\")] enum Diagnostic {}";
    assert_eq!(expand(&input(text)).unwrap().to_string(), expected.to_string());
}

#[test]
fn a_generic_type_has_its_parameters_in_its_name() {
    let text = written(
        "#[message(name = \"a.Reply/1\")] struct Reply<'a, T: Clone, E = ()>(&'a T, E) \
         where T: Copy;",
    );
    assert!(text.contains("impl<'a,T:Clone+::anyipc::Message,E:::anyipc::Message>"), "{text}");
    assert!(text.contains("::anyipc::MessageforReply<'a,T,E>whereT:Copy"), "{text}");
    assert!(
        text.contains(
            "[\"a.Reply/1\",\"<\",<Tas::anyipc::Message>::NAME,\", \",\
             <Eas::anyipc::Message>::NAME,\">\",]"
                .replace(' ', "")
                .as_str()
        ),
        "{text}"
    );
}

#[test]
fn the_crate_may_have_another_name() {
    let text = written("#[message(name = \"a/1\", crate = \"crate::ipc\")] struct A<T>(T);");
    assert!(text.contains("crate::ipc::MessageforA"), "{text}");
    assert!(text.contains("crate::ipc::MessageName::of"), "{text}");
    assert!(!text.contains("::anyipc"), "{text}");
}

#[test]
fn without_a_name_the_error_says_what_to_write() {
    for attribute in ["", "#[message()]", "#[message(crate = \"x\")]", "#[serde(name = \"x\")]"] {
        let error = refused(&format!("{attribute} struct Edit;"));
        assert!(error.contains("#[message(name = \"program.Edit/1\")]"), "{error}");
    }
}

#[test]
fn faults_are_named() {
    let long = format!("#[message(name = \"{}\")] struct A;", "x".repeat(256));
    for (text, words) in [
        ("#[message(name = \"\")] struct A;", "at least one"),
        ("#[message(name = \"a\\nb\")] struct A;", "'\\n'"),
        ("#[message(name = \"a\", name = \"b\")] struct A;", "twice"),
        ("#[message(name = \"a\")] #[message(name = \"b\")] struct A;", "twice"),
        ("#[message(nam = \"a\")] struct A;", "`name = \"…\"`"),
        ("#[message(name = 5)] struct A;", "string literal"),
        ("#[message(name)] struct A;", "expected `=`"),
        ("#[message] struct A;", "message(...)"),
        ("#[message(name = \"a\")] struct A<const N: usize>;", "by hand"),
        ("struct A { #[message(name = \"a\")] x: u8 }", "above"),
        ("enum A { #[message(name = \"a\")] X }", "above"),
        ("enum A { X(#[message(name = \"a\")] u8) }", "above"),
        ("union A { #[message(name = \"a\")] x: u8 }", "above"),
        (&long, "256 bytes"),
    ] {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
    }
}
