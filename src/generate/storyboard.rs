//! Storyboards: panels that are drawn one by one and kept, with a sheet to look at them together.
//!
//! ```text
//! board/
//!   storyboard.json   every panel with its prompt and seed, its images or why there are none
//!   panels/…          the images; a panel that is there is not drawn again
//!   storyboard.html   the sheet
//!   storyboard.png    the same as one picture
//! ```

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use image::{Rgb, RgbImage};
use maud::{DOCTYPE, html};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Generator;
use crate::{
    crop::{Sheet, to_png},
    error::{AtStage, Error, Result, Stage},
    store::{Key, PutMode, Store, get_opt},
    types::GenerateRequest,
};

/// Where the images lie.
const PANELS: &str = "panels";
/// Width of an image on the sheet, in pixels.
const TILE: u32 = 320;
/// Most images of a row of the sheet.
const COLUMNS: usize = 4;
/// Room between images.
const GAP: u32 = 8;

/// A panel: what is to be drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// What to draw; the name of a character stands for its looks.
    pub prompt: String,
    /// Seed of the first image; the panel's number unless given.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How many images to choose from.
    #[serde(default = "one")]
    pub count: u32,
}

fn one() -> u32 {
    1
}

/// Panels in their order, and what they have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storyboard {
    /// The panels.
    pub panels: Vec<Panel>,
    /// What is kept out of all of them; the generator's own words unless given.
    #[serde(default)]
    pub negative_prompt: Option<String>,
    /// Width of each image in pixels.
    #[serde(default = "side")]
    pub width: u32,
    /// Height of each image in pixels.
    #[serde(default = "side")]
    pub height: u32,
}

fn side() -> u32 {
    1024
}

/// A panel that was drawn, or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnPanel {
    /// The panel.
    #[serde(flatten)]
    pub panel: Panel,
    /// Its images.
    pub images: Vec<DrawnImage>,
    /// Why there are fewer images than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// An image with what draws it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnImage {
    /// Key in the store.
    pub image: String,
    /// Its seed.
    pub seed: u64,
    /// The model that drew it.
    pub model: String,
}

impl Storyboard {
    /// Reads panels from TOML: `[[panels]]` with `prompt`, and `seed` and `count` where wanted.
    ///
    /// ```
    /// let board = picchu::generate::Storyboard::from_toml("[[panels]]\nprompt = \"Mayu waves\"\n")?;
    /// assert_eq!((board.panels[0].count, board.width), (1, 1024));
    /// # Ok::<(), picchu::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) says what is wrong.
    pub fn from_toml(text: &str) -> Result<Self> {
        let board: Self = toml::from_str(text).map_err(|e| {
            Error::invalid(format!("the panels are not understood: {}", e.message())).at(Stage::Generate)
        })?;
        if board.panels.is_empty() {
            return Err(Error::invalid("there is no panel to draw").at(Stage::Generate));
        }
        Ok(board)
    }

    /// What a generator is asked for, one image a request, panel by panel.
    pub fn requests(&self) -> impl Iterator<Item = GenerateRequest> + '_ {
        (0..).zip(&self.panels).flat_map(|(number, panel)| self.requests_of(number, panel))
    }

    /// What [`draw`](Self::draw) will ask for: the images that are not there yet. Draws nothing.
    ///
    /// ```no_run
    /// # async fn f(board: picchu::generate::Storyboard, who: &dyn picchu::Generator,
    /// #            store: std::sync::Arc<dyn picchu::Store>) -> picchu::Result<()> {
    /// let open = board.open_requests(who, &store).await?;
    /// let usd: Option<f64> = open.iter().map(|request| who.price(request)).sum();
    /// println!("{} images to draw, {usd:?} US dollars", open.len());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The store's.
    pub async fn open_requests(
        &self,
        generator: &dyn Generator,
        store: &Arc<dyn Store>,
    ) -> Result<Vec<GenerateRequest>> {
        let folder = Key::new(PANELS)?;
        let there = store.list(Some(&folder)).map_ok(|object| object.key);
        let there: BTreeSet<Key> = there.try_collect().await.at(Stage::Generate)?;
        let mut open = Vec::new();
        for (number, panel) in (0..).zip(&self.panels) {
            for request in self.requests_of(number, panel) {
                if !there.contains(&key_of(generator, number, &request).at(Stage::Generate)?) {
                    open.push(request);
                }
            }
        }
        Ok(open)
    }

    fn requests_of(&self, number: u64, panel: &Panel) -> impl Iterator<Item = GenerateRequest> + use<> {
        let first = GenerateRequest {
            prompt: panel.prompt.clone(),
            negative_prompt: self.negative_prompt.clone(),
            count: 1,
            seed: panel.seed.unwrap_or(number),
            width: self.width,
            height: self.height,
        };
        (0..u64::from(panel.count)).map(move |n| GenerateRequest { seed: first.seed + n, ..first.clone() })
    }

    /// Draws every panel that is not there yet, and writes the sheets. A panel that fails keeps no other from being
    /// drawn; the same call draws it again.
    ///
    /// # Errors
    /// The store's. What the generator refuses stands in the panels.
    pub async fn draw(&self, generator: &dyn Generator, store: &Arc<dyn Store>) -> Result<Vec<DrawnPanel>> {
        self.draw_all(generator, store).await.at(Stage::Generate)
    }

    async fn draw_all(&self, generator: &dyn Generator, store: &Arc<dyn Store>) -> Result<Vec<DrawnPanel>> {
        let (mut drawn, mut pictures) = (Vec::new(), Vec::new());
        for (number, panel) in (0_u64..).zip(&self.panels) {
            let mut done = DrawnPanel { panel: panel.clone(), images: Vec::new(), failure: None };
            let mut row = Vec::new();
            for request in self.requests_of(number, panel) {
                match image_of(generator, &**store, number, &request).await? {
                    Ok((image, picture)) => {
                        done.images.push(image);
                        row.push(picture);
                    }
                    Err(why) => done.failure = Some(why),
                }
            }
            drawn.push(done);
            pictures.push(row);
        }
        let json = serde_json::to_vec_pretty(&drawn)
            .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
        let (page, size) = (sheet_page(&drawn), (self.width, self.height));
        let sheet = crate::blocking(move || to_png(&sheet(&pictures, size))).await?;
        for (name, body) in
            [("storyboard.json", json), ("storyboard.html", page.into_bytes()), ("storyboard.png", sheet)]
        {
            store.put(&Key::new(name)?, Bytes::from(body), PutMode::Overwrite).await?;
        }
        Ok(drawn)
    }
}

/// Where an image lies. Another request, or another generator, is another image.
fn key_of(generator: &dyn Generator, panel: u64, request: &GenerateRequest) -> Result<Key> {
    let info = generator.info();
    let wanted = serde_json::to_vec(&(request, &info.name, &info.model, &info.settings))
        .map_err(|e| Error::internal(format!("cannot write JSON: {e}")))?;
    let hash = crate::source::sha256_string(Sha256::new_with_prefix(wanted));
    Key::new(format!("{PANELS}/{:03}-{}-{}.png", panel + 1, request.seed, &hash["sha256:".len()..][..12]))
}

/// An image from the store, or drawn and put there; or why it could not be drawn.
async fn image_of(
    generator: &dyn Generator,
    store: &dyn Store,
    panel: u64,
    request: &GenerateRequest,
) -> Result<std::result::Result<(DrawnImage, RgbImage), String>> {
    let key = key_of(generator, panel, request)?;
    let model = generator.info().model;
    let drawn =
        |image: &Key| DrawnImage { image: image.to_string(), seed: request.seed, model: model.clone() };
    if let Some(body) = get_opt(store, &key).await? {
        let id = key.to_string();
        let picture = crate::blocking(move || crate::dataset::decode_image(&body, &id)).await?;
        return Ok(Ok((drawn(&key), picture)));
    }
    match generator.generate(request).await {
        Ok(images) => match images.into_iter().next() {
            Some(image) => {
                let picture = Arc::clone(&image.image);
                let body = crate::blocking(move || to_png(&picture)).await?;
                store.put(&key, Bytes::from(body), PutMode::Overwrite).await?;
                Ok(Ok((drawn(&key), Arc::unwrap_or_clone(image.image))))
            }
            None => Ok(Err("the generator drew nothing".into())),
        },
        Err(e) => Ok(Err(e.to_string())),
    }
}

/// The panels with their images, as a page. Words from outside are escaped.
fn sheet_page(panels: &[DrawnPanel]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Storyboard" }
                style {
                    "body{font:16px system-ui,sans-serif;margin:2rem;background:#fafafa;color:#222}"
                    "ol{display:grid;grid-template-columns:repeat(auto-fill,minmax(320px,1fr));gap:1.5rem}"
                    "img{width:100%;border-radius:4px}.failed{border:2px dashed #b00;padding:1rem}"
                }
            }
            body {
                h1 { "Storyboard" }
                ol {
                    @for panel in panels {
                        li {
                            @for image in &panel.images {
                                figure { img src=(image.image) alt=(panel.panel.prompt); figcaption { "seed " (image.seed) } }
                            }
                            @if let Some(why) = &panel.failure { p class="failed" { "Not drawn: " (why) } }
                            p { (panel.panel.prompt) }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

/// All images in rows, each panel on rows of its own; a panel without an image is a crossed frame.
fn sheet(panels: &[Vec<RgbImage>], (width, height): (u32, u32)) -> RgbImage {
    let tile_height = (u64::from(TILE) * u64::from(height.max(1)) / u64::from(width.max(1))).max(1) as u32;
    let rows = panels.iter().map(|images| images.len().div_ceil(COLUMNS).max(1)).sum();
    let columns = panels.iter().map(|images| images.len().clamp(1, COLUMNS)).max().unwrap_or(1);
    let mut sheet = Sheet::new((columns, rows), (TILE, tile_height), GAP, Rgb([250, 250, 250]));
    let mut row = 0;
    for images in panels {
        for (n, image) in images.iter().enumerate() {
            sheet.put(n % COLUMNS, row + n / COLUMNS, image);
        }
        if images.is_empty() {
            sheet.cross_out(0, row, Rgb([187, 0, 0]));
        }
        row += images.len().div_ceil(COLUMNS).max(1);
    }
    sheet.into_picture()
}
