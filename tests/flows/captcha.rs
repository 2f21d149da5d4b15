//! captcha
