//! From a type with its attributes to an `impl`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, GenericParam, Generics, LitStr, Path, Result,
    parse_quote,
};

/// The longest name, in bytes: `MAX_TYPE_NAME` of the handshake.
const MOST: usize = 255;

/// What the attributes on a type say.
#[derive(Default)]
struct Said {
    name: Option<LitStr>,
    anyipc: Option<Path>,
}

/// The implementation of `Message` for a type.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    refuse_inner(&input.data)?;
    let said = read(&input.attrs)?;
    let ident = &input.ident;
    let Some(name) = said.name else {
        return Err(Error::new_spanned(
            ident,
            format!(
                "`{ident}` needs a name that both programs write alike, for example \
                 #[message(name = \"program.{ident}/1\")]: it is not made from the type's own, \
                 which is another in another program"
            ),
        ));
    };
    check(&name)?;
    let anyipc = said.anyipc.unwrap_or_else(|| parse_quote!(::anyipc));
    let message = quote!(#anyipc::Message);
    let generics = bounded(&input.generics, &message)?;
    let (implemented, arguments, conditions) = generics.split_for_impl();

    let mut parameters = generics.type_params().map(|parameter| &parameter.ident);
    let value = match parameters.next() {
        None => quote!(#name),
        Some(first) => quote! {
            const { &#anyipc::MessageName::of(&[
                #name, "<", <#first as #message>::NAME,
                #(", ", <#parameters as #message>::NAME,)* ">",
            ]) }.as_str()
        },
    };
    Ok(quote! {
        #[automatically_derived]
        impl #implemented #message for #ident #arguments #conditions {
            const NAME: &'static str = #value;
        }
    })
}

fn read(attributes: &[Attribute]) -> Result<Said> {
    let mut said = Said::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("message")) {
        attribute.parse_nested_meta(|meta| {
            let twice = |twice: bool| {
                if twice { Err(meta.error("is given twice; give it once")) } else { Ok(()) }
            };
            if meta.path.is_ident("name") {
                twice(said.name.is_some())?;
                said.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("crate") {
                twice(said.anyipc.is_some())?;
                said.anyipc = Some(meta.value()?.parse::<LitStr>()?.parse()?);
            } else {
                return Err(meta.error("unknown; there are `name = \"…\"` and `crate = \"…\"`"));
            }
            Ok(())
        })?;
    }
    Ok(said)
}

fn check(name: &LitStr) -> Result<()> {
    let text = name.value();
    let why = match text.chars().find(|c| c.is_control()) {
        _ if text.is_empty() => "a name has at least one byte".to_owned(),
        _ if text.len() > MOST => {
            format!("the name has {} bytes; at most {MOST} are allowed", text.len())
        }
        Some(c) => format!("{c:?} may not stand in a name"),
        None => return Ok(()),
    };
    Err(Error::new_spanned(name, why))
}

/// The generics, each type with the bound that it is a message itself.
fn bounded(generics: &Generics, message: &TokenStream) -> Result<Generics> {
    let mut generics = generics.clone();
    for parameter in &mut generics.params {
        match parameter {
            GenericParam::Type(parameter) => parameter.bounds.push(parse_quote!(#message)),
            GenericParam::Lifetime(_) => {}
            GenericParam::Const(parameter) => {
                return Err(Error::new_spanned(
                    parameter,
                    "a constant parameter has no name: implement anyipc::Message by hand, with \
                     another name for each value",
                ));
            }
        }
    }
    Ok(generics)
}

/// An attribute on a field or a variant would have no effect.
fn refuse_inner(data: &Data) -> Result<()> {
    let of_fields = |fields: &Fields| fields.iter().flat_map(|f| f.attrs.clone()).collect();
    let attributes: Vec<Attribute> = match data {
        Data::Struct(data) => of_fields(&data.fields),
        Data::Enum(data) => {
            let variants = data.variants.iter();
            variants.flat_map(|v| [v.attrs.clone(), of_fields(&v.fields)]).flatten().collect()
        }
        Data::Union(data) => data.fields.named.iter().flat_map(|f| f.attrs.clone()).collect(),
    };
    match attributes.iter().find(|attribute| attribute.path().is_ident("message")) {
        Some(attribute) => Err(Error::new_spanned(
            attribute,
            "`message` names the whole type; write it above, not within",
        )),
        None => Ok(()),
    }
}
